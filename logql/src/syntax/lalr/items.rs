//! The item sets of a grammar and what may come behind each item.

use super::{Grammar, Precedence};

/// A set of tokens; bit 127 is no token.
pub(super) type Tokens = u128;
const DUMMY: Tokens = 1 << 127;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub rule: u16,
    pub dot: u16,
}

pub(super) struct Builder {
    pub tokens: usize,
    pub nonterminals: usize,
    /// Symbols below `tokens` are tokens; production 0 is `start' -> start`.
    pub rules: Vec<(usize, Vec<usize>)>,
    by_left: Vec<Vec<u16>>,
    nullable: Vec<bool>,
    first: Vec<Tokens>,
    pub states: Vec<Vec<Item>>,
    /// By state: symbol and target, sorted.
    pub moves: Vec<Vec<(usize, usize)>>,
}

impl Builder {
    pub fn new(grammar: &Grammar<'_>) -> Builder {
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

    pub fn find_first(&mut self) {
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

    pub fn find_states(&mut self) {
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
    pub fn closure(&self, kernel: &[(Item, Tokens)]) -> Vec<(Item, Tokens)> {
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
    pub fn lookaheads(&self) -> Vec<Vec<(Item, Tokens)>> {
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

    pub fn precedence_of(
        &self,
        rule: u16,
        precedence: fn(u8) -> Option<Precedence>,
    ) -> Option<Precedence> {
        let last = self.rules[rule as usize].1.iter().rev().find(|s| **s < self.tokens)?;
        precedence(*last as u8)
    }
}
