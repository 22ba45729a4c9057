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

mod items;

use items::{Builder, Item, Tokens};

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

#[cfg(test)]
mod tests;
