use super::*;

/// Feeds tokens one by one and writes down what is reduced.
struct Script {
    tokens: Vec<u8>,
    rules: Vec<String>,
}

impl Driver for Script {
    type Value = String;
    type Error = String;

    fn next(&mut self) -> Result<(u8, String), String> {
        let token = if self.tokens.is_empty() { 0 } else { self.tokens.remove(0) };
        Ok((token, NAMES[usize::from(token)].to_owned()))
    }

    fn reduce(
        &mut self,
        rule: usize,
        values: &mut Vec<String>,
        from: usize,
    ) -> Result<String, String> {
        if self.rules[rule].starts_with("Bad") {
            return Err("bad".to_owned());
        }
        Ok(match &values[from..] {
            [one] => one.clone(),
            parts => format!("({})", parts.concat()),
        })
    }
}

const NAMES: &[&str] = &["$end", "n", "+", "*", "^", "(", ")", "x", "y"];

fn run(rules: &[&'static str], input: &str) -> Result<String, String> {
    let precedence = |token| {
        let (level, assoc) = match token {
            2 => (1, Assoc::Left),
            3 => (2, Assoc::Left),
            4 => (3, Assoc::Right),
            _ => return None,
        };
        Some(Precedence { level, assoc })
    };
    let table = Table::new(&Grammar { tokens: NAMES, precedence, rules: rules.to_vec() });
    let named = |c: char| NAMES.iter().position(|name| *name == c.to_string()).unwrap() as u8;
    let tokens = input.chars().map(named).collect();
    let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    table.run(&mut Script { tokens, rules }).map_err(|refusal| match refusal {
        Refusal::Syntax(text) | Refusal::Action(text) => text,
    })
}

#[test]
fn precedence_and_grouping_resolve_conflicts() {
    let rules = ["E E + E", "E E * E", "E E ^ E", "E ( E )", "E n"];
    for (input, read) in [
        ("n+n+n", "((n+n)+n)"),
        ("n+n*n", "(n+(n*n))"),
        ("n*n+n", "((n*n)+n)"),
        ("n^n^n", "(n^(n^n))"),
        ("n*n^n+n", "((n*(n^n))+n)"),
        ("(n+n)*n", "((((n+n)))*n)"),
    ] {
        assert_eq!(run(&rules, input).as_deref(), Ok(read), "{input}");
    }
    // Without precedence the parser shifts.
    assert_eq!(run(&["E E x E", "E n"], "nxnxn").as_deref(), Ok("(nx(nxn))"));
}

#[test]
fn expected_tokens_are_those_shiftable_where_the_error_is_noticed() {
    let rules = ["E E + E", "E ( E )", "E n"];
    for (input, error) in [
        ("", "unexpected $end, expecting n or ("),
        ("n+", "unexpected $end, expecting n or ("),
        ("(n", "unexpected $end, expecting + or )"),
        ("n)", "unexpected ), expecting +"),
    ] {
        assert_eq!(run(&rules, input), Err(format!("syntax error: {error}")));
    }
    // A state with a reduction reduces first, whatever comes: `n` is the whole start by then.
    assert_eq!(
        run(&["Start Items", "Items Item", "Items Items Item", "Item n", "Item n x"], "ny"),
        Err("syntax error: unexpected y".to_owned())
    );
    // Five are too many to name.
    let many = ["S n", "S +", "S *", "S ^", "S ("];
    assert_eq!(run(&many, "x"), Err("syntax error: unexpected x".to_owned()));
}

#[test]
fn a_state_that_can_only_reduce_does_not_look_ahead() {
    // The action fails before the token behind `n`, which nothing accepts, is seen.
    assert_eq!(run(&["S Bad x", "Bad n"], "ny"), Err("bad".to_owned()));
}

#[test]
fn empty_productions_are_read() {
    let rules = ["S A n", "A", "A x"];
    assert_eq!(run(&rules, "xn").as_deref(), Ok("(xn)"));
    assert_eq!(run(&rules, "n").as_deref(), Ok("(()n)"));
}
