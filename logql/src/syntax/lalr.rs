//! LALR(1) automata, built from a table of productions with yacc's rules.
//!
//! What makes it yacc, and matters for the error texts we reproduce:
//! - a conflict of shift and reduce goes by precedence, else shifts; of two reductions the
//!   production written first wins;
//! - the most frequent reduction of a state is its default and is done whatever comes, so an error
//!   is noticed only in a state that has no reduction;
//! - such a state's shiftable tokens are "expected", named if there are at most four.
//!
//! Reference: Aho, Sethi, Ullman, "Compilers", 4.7 (propagation of lookaheads).

/// How equals group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assoc {
    Left,
    Right,
}

/// How tight a token binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Precedence {
    pub level: u8,
    pub assoc: Assoc,
}

/// Productions over tokens. The first production's left side is the start.
pub(super) struct Grammar<'a> {
    /// Names of the tokens in order; token 0 is the end.
    pub tokens: &'a [&'a str],
    pub precedence: fn(u8) -> Option<Precedence>,
    /// `Left Right Right ...`, blank-separated; a symbol that is no left side is a token.
    pub rules: Vec<&'a str>,
}

/// An automaton.
pub(super) struct Table {
    tokens: Vec<String>,
    nonterminals: usize,
    /// By state and token: 0 nothing, n > 0 shift to n - 1, n < 0 reduce by -n - 1.
    actions: Vec<i16>,
    /// By state: the production reduced by when no action fits.
    defaults: Vec<Option<u16>>,
    /// By state: decides without looking at the next token.
    blind: Vec<bool>,
    gotos: Vec<u16>,
    /// By production: left side and length.
    rules: Vec<(u16, u16)>,
}

/// Why a text was refused.
#[derive(Debug)]
pub(super) enum Refusal<E> {
    /// `syntax error: unexpected x, expecting y`.
    Syntax(String),
    /// An action or the lexer refused.
    Action(E),
}

/// What an automaton works on.
pub(super) trait Driver {
    type Value;
    type Error;
    /// The next token and its value.
    fn next(&mut self) -> Result<(u8, Self::Value), Self::Error>;
    /// The value of production `rule`, given those of its right side, which it takes off `values`
    /// from `from` on.
    fn reduce(
        &mut self,
        rule: usize,
        values: &mut Vec<Self::Value>,
        from: usize,
    ) -> Result<Self::Value, Self::Error>;
}

/// A set of tokens; bit 127 is no token.
type Tokens = u128;
const DUMMY: Tokens = 1 << 127;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    rule: u16,
    dot: u16,
}

struct Builder {
    tokens: usize,
    nonterminals: usize,
    /// Symbols below `tokens` are tokens; production 0 is `start' -> start`.
    rules: Vec<(usize, Vec<usize>)>,
    by_left: Vec<Vec<u16>>,
    nullable: Vec<bool>,
    first: Vec<Tokens>,
    states: Vec<Vec<Item>>,
    /// By state: symbol and target, sorted.
    moves: Vec<Vec<(usize, usize)>>,
}

impl Table {
    /// Builds the automaton. Panics when the grammar is malformed: grammars are constants.
    pub fn new(grammar: &Grammar<'_>) -> Table {
        let mut builder = Builder::new(grammar);
        builder.find_first();
        builder.find_states();
        let lookaheads = builder.lookaheads();
        let mut table = Table {
            tokens: grammar.tokens.iter().map(|t| (*t).to_owned()).collect(),
            nonterminals: builder.nonterminals,
            actions: vec![0; builder.states.len() * builder.tokens],
            defaults: Vec::new(),
            blind: Vec::new(),
            gotos: vec![0; builder.states.len() * builder.nonterminals],
            rules: builder.rules.iter().map(|(l, r)| (*l as u16, r.len() as u16)).collect(),
        };
        for (state, kernel) in lookaheads.iter().enumerate() {
            table.fill(&builder, grammar.precedence, state, kernel);
        }
        table
    }

    fn fill(
        &mut self,
        builder: &Builder,
        precedence: fn(u8) -> Option<Precedence>,
        state: usize,
        kernel: &[(Item, Tokens)],
    ) {
        let row = state * builder.tokens;
        for &(symbol, target) in &builder.moves[state] {
            if symbol < builder.tokens {
                self.actions[row + symbol] = target as i16 + 1;
            } else {
                let column = symbol - builder.tokens;
                self.gotos[state * builder.nonterminals + column] = target as u16;
            }
        }
        self.blind.push(self.actions[row..row + builder.tokens].iter().all(|&a| a == 0));
        let mut complete: Vec<(u16, Tokens)> = builder
            .closure(kernel)
            .into_iter()
            .filter(|(item, _)| usize::from(item.dot) == builder.rules[item.rule as usize].1.len())
            .map(|(item, ahead)| (item.rule, ahead))
            .collect();
        complete.sort_unstable();
        for (rule, ahead) in complete {
            for token in (0..builder.tokens).filter(|t| ahead >> t & 1 == 1) {
                let action = &mut self.actions[row + token];
                if *action < 0 {
                    continue; // an earlier production has it
                }
                let keep = *action > 0
                    && match (builder.precedence_of(rule, precedence), precedence(token as u8)) {
                        (Some(of_rule), Some(of_token)) if of_rule.level != of_token.level => {
                            of_rule.level < of_token.level
                        }
                        (Some(_), Some(of_token)) => of_token.assoc == Assoc::Right,
                        _ => true,
                    };
                if !keep {
                    *action = -(rule as i16) - 1;
                }
            }
        }
        let default = self.commonest_reduction(row, builder.tokens);
        self.defaults.push(default);
    }

    fn commonest_reduction(&self, row: usize, tokens: usize) -> Option<u16> {
        let actions = &self.actions[row..row + tokens];
        let mut best = (0, None);
        for &action in actions.iter().filter(|&&a| a < 0 && a != -1) {
            let count = actions.iter().filter(|&&a| a == action).count();
            if count > best.0 {
                best = (count, Some((-action - 1) as u16));
            }
        }
        best.1
    }

    /// Runs the automaton to the end of the input.
    pub fn run<D: Driver>(&self, driver: &mut D) -> Result<D::Value, Refusal<D::Error>> {
        let mut states: Vec<u16> = vec![0];
        let mut values: Vec<D::Value> = Vec::new();
        let mut ahead: Option<(u8, D::Value)> = None;
        loop {
            let state = usize::from(*states.last().expect("the start state stays"));
            let default = self.defaults[state];
            let action = if self.blind[state] && default.is_some() {
                0
            } else {
                let token = match &ahead {
                    Some((token, _)) => *token,
                    None => {
                        let read = driver.next().map_err(Refusal::Action)?;
                        ahead.insert(read).0
                    }
                };
                self.actions[state * self.tokens.len() + usize::from(token)]
            };
            if action == -1 {
                return Ok(values.pop().expect("the start symbol has a value"));
            }
            if action > 0 {
                let (_, value) = ahead.take().expect("a shift has a token");
                states.push((action - 1) as u16);
                values.push(value);
                continue;
            }
            let rule = match (action, default) {
                (0, Some(rule)) => usize::from(rule),
                (0, None) => {
                    let token = ahead.map_or(0, |(token, _)| token);
                    return Err(Refusal::Syntax(self.complaint(state, token)));
                }
                (reduce, _) => (-reduce - 1) as usize,
            };
            let (left, length) = self.rules[rule];
            let from = values.len() - usize::from(length);
            let value = driver.reduce(rule - 1, &mut values, from).map_err(Refusal::Action)?;
            values.truncate(from);
            values.push(value);
            states.truncate(from + 1);
            let top = usize::from(*states.last().expect("the start state stays"));
            states.push(self.gotos[top * self.nonterminals + usize::from(left)]);
        }
    }

    fn complaint(&self, state: usize, token: u8) -> String {
        let mut text = format!("syntax error: unexpected {}", self.tokens[usize::from(token)]);
        let row = state * self.tokens.len();
        let expected: Vec<&str> = (1..self.tokens.len())
            .filter(|token| self.actions[row + token] > 0)
            .map(|token| self.tokens[token].as_str())
            .collect();
        if !expected.is_empty() && expected.len() <= 4 {
            text.push_str(", expecting ");
            text.push_str(&expected.join(" or "));
        }
        text
    }
}

impl Builder {
    fn new(grammar: &Grammar<'_>) -> Builder {
        let tokens = grammar.tokens.len();
        assert!(tokens < 127, "token sets are 127 bits");
        let mut names: Vec<&str> = Vec::new();
        for rule in &grammar.rules {
            let left = rule.split_whitespace().next().expect("a production has a left side");
            if !names.contains(&left) {
                names.push(left);
            }
        }
        let symbol = |name: &str| {
            let token = grammar.tokens.iter().position(|t| *t == name);
            let nonterminal = || names.iter().position(|n| *n == name).map(|n| tokens + 1 + n);
            token.or_else(nonterminal).unwrap_or_else(|| panic!("no symbol {name}"))
        };
        // Nonterminal 0 is the start that is reduced at the end of the input.
        let mut rules = vec![(0, vec![tokens + 1])];
        for rule in &grammar.rules {
            let mut symbols = rule.split_whitespace().map(symbol);
            let left = symbols.next().expect("checked above") - tokens;
            rules.push((left, symbols.collect()));
        }
        let nonterminals = names.len() + 1;
        let mut by_left = vec![Vec::new(); nonterminals];
        for (index, (left, _)) in rules.iter().enumerate() {
            by_left[*left].push(index as u16);
        }
        Builder {
            tokens,
            nonterminals,
            rules,
            by_left,
            nullable: vec![false; nonterminals],
            first: vec![0; nonterminals],
            states: Vec::new(),
            moves: Vec::new(),
        }
    }

    fn find_first(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for index in 0..self.rules.len() {
                let left = self.rules[index].0;
                let (first, empty) = self.first_of(&self.rules[index].1);
                let (first, empty) = (first | self.first[left], empty || self.nullable[left]);
                changed |= first != self.first[left] || empty != self.nullable[left];
                self.first[left] = first;
                self.nullable[left] = empty;
            }
        }
    }

    /// Tokens that can begin `symbols`, and whether they can be empty.
    fn first_of(&self, symbols: &[usize]) -> (Tokens, bool) {
        let mut first = 0;
        for &symbol in symbols {
            if symbol < self.tokens {
                return (first | 1 << symbol, false);
            }
            first |= self.first[symbol - self.tokens];
            if !self.nullable[symbol - self.tokens] {
                return (first, false);
            }
        }
        (first, true)
    }

    fn find_states(&mut self) {
        self.states.push(vec![Item { rule: 0, dot: 0 }]);
        let mut at = 0;
        while at < self.states.len() {
            let kernel: Vec<(Item, Tokens)> = self.states[at].iter().map(|i| (*i, 0)).collect();
            let mut targets: Vec<(usize, Item)> = Vec::new();
            for (item, _) in self.closure(&kernel) {
                if let Some(&symbol) = self.rules[item.rule as usize].1.get(item.dot as usize) {
                    targets.push((symbol, Item { dot: item.dot + 1, ..item }));
                }
            }
            targets.sort_unstable();
            let mut moves = Vec::new();
            for group in targets.chunk_by(|a, b| a.0 == b.0) {
                let kernel: Vec<Item> = group.iter().map(|(_, item)| *item).collect();
                let known = self.states.iter().position(|state| *state == kernel);
                let target = known.unwrap_or_else(|| {
                    self.states.push(kernel);
                    self.states.len() - 1
                });
                moves.push((group[0].0, target));
            }
            self.moves.push(moves);
            at += 1;
        }
    }

    /// The items that follow from a kernel, with the tokens that may come behind each.
    fn closure(&self, kernel: &[(Item, Tokens)]) -> Vec<(Item, Tokens)> {
        let mut ahead: Vec<Option<Tokens>> = vec![None; self.rules.len()];
        let mut pending: Vec<(Item, Tokens)> = kernel.to_vec();
        while let Some((item, behind)) = pending.pop() {
            let right = &self.rules[item.rule as usize].1;
            let Some(&symbol) = right.get(item.dot as usize) else { continue };
            if symbol < self.tokens {
                continue;
            }
            let (mut first, empty) = self.first_of(&right[item.dot as usize + 1..]);
            if empty {
                first |= behind;
            }
            for &rule in &self.by_left[symbol - self.tokens] {
                let known = &mut ahead[rule as usize];
                if known.is_none_or(|known| known | first != known) {
                    let grown = known.unwrap_or(0) | first;
                    *known = Some(grown);
                    pending.push((Item { rule, dot: 0 }, grown));
                }
            }
        }
        let mut items = kernel.to_vec();
        for (rule, ahead) in ahead.iter().enumerate() {
            if let Some(ahead) = ahead {
                items.push((Item { rule: rule as u16, dot: 0 }, *ahead));
            }
        }
        items
    }

    /// The kernels with their lookaheads.
    fn lookaheads(&self) -> Vec<Vec<(Item, Tokens)>> {
        let mut kernels: Vec<Vec<(Item, Tokens)>> =
            self.states.iter().map(|s| s.iter().map(|i| (*i, 0)).collect()).collect();
        kernels[0][0].1 = 1; // the end follows the start
        let mut passes: Vec<((usize, usize), (usize, usize))> = Vec::new();
        for (state, kernel) in self.states.iter().enumerate() {
            for (index, &item) in kernel.iter().enumerate() {
                for (closed, ahead) in self.closure(&[(item, DUMMY)]) {
                    let right = &self.rules[closed.rule as usize].1;
                    let Some(&symbol) = right.get(closed.dot as usize) else { continue };
                    let at = self.moves[state].partition_point(|m| m.0 < symbol);
                    let target = self.moves[state][at].1;
                    let moved = Item { dot: closed.dot + 1, ..closed };
                    let place = self.states[target].binary_search(&moved);
                    let place = place.expect("a move leads to the moved item");
                    kernels[target][place].1 |= ahead & !DUMMY;
                    if ahead & DUMMY != 0 {
                        passes.push(((state, index), (target, place)));
                    }
                }
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &((from, a), (to, b)) in &passes {
                let grown = kernels[to][b].1 | kernels[from][a].1;
                changed |= grown != kernels[to][b].1;
                kernels[to][b].1 = grown;
            }
        }
        kernels
    }

    fn precedence_of(
        &self,
        rule: u16,
        precedence: fn(u8) -> Option<Precedence>,
    ) -> Option<Precedence> {
        let last = self.rules[rule as usize].1.iter().rev().find(|s| **s < self.tokens)?;
        precedence(*last as u8)
    }
}
