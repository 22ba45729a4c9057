use super::*;
use crate::engine::sets::Set;
use crate::syntax::{Expr, MetricExpr, parse};

fn binary(text: &str) -> BinaryExpr {
    let text = format!("vector(1) {text} vector(1)");
    let Ok(Expr::Metric(MetricExpr::Binary(binary))) = parse(&text) else { panic!("{text}") };
    *binary
}

fn matrix(rows: &[(&str, &[Option<f64>])]) -> Matrix {
    let labels = |text: &str| {
        Labels::from_pairs(text.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        }))
    };
    rows.iter().map(|(text, values)| (labels(text), values.to_vec())).collect()
}

fn show(mut matrix: Matrix) -> Vec<String> {
    matrix.sort_by(|a, b| a.0.cmp(&b.0));
    let value = |value: &Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
    let row = |(labels, values): &(Labels, Vec<Option<f64>>)| {
        format!("{labels} {}", values.iter().map(value).collect::<Vec<_>>().join(" "))
    };
    matrix.iter().map(row).collect()
}

fn run(op: &str, left: &Matrix, right: &Matrix) -> Result<Vec<String>, String> {
    let out = Between::new(&binary(op)).apply(left, right, 2);
    out.map(show).map_err(|error| error.to_string())
}

#[test]
fn series_meet_by_all_labels_or_by_those_named() {
    let left = matrix(&[("a=1,b=x", &[Some(6.0), Some(1.0)]), ("a=2,b=x", &[Some(8.0), None])]);
    let right = matrix(&[("a=1,b=x", &[Some(3.0), None]), ("a=2,b=y", &[Some(4.0), Some(1.0)])]);
    assert_eq!(run("/", &left, &right).unwrap(), [r#"{a="1", b="x"} 2 -"#]);
    assert_eq!(run("/ on (a)", &left, &right).unwrap(), [r#"{a="1"} 2 -"#, r#"{a="2"} 2 -"#]);
    assert_eq!(run("/ ignoring (b)", &left, &right), run("/ on (a)", &left, &right));
    assert_eq!(run("> bool on (a)", &right, &left).unwrap(), [r#"{a="1"} 0 -"#, r#"{a="2"} 0 -"#]);
    assert_eq!(run("> on (a)", &left, &right).unwrap(), [r#"{a="1"} 6 -"#, r#"{a="2"} 8 -"#]);
    assert_eq!(run("< on (a)", &left, &right).unwrap(), Vec::<String>::new());
}

#[test]
fn a_group_keeps_the_labels_of_the_many_side() {
    let many = matrix(&[("a=1,h=x", &[Some(6.0), None]), ("a=1,h=y", &[Some(8.0), Some(4.0)])]);
    let one = matrix(&[("a=1,team=red", &[Some(2.0), Some(2.0)])]);
    let left = [r#"{a="1", h="x"} 3 -"#, r#"{a="1", h="y"} 4 2"#];
    assert_eq!(run("/ on (a) group_left", &many, &one).unwrap(), left);
    let with = [r#"{a="1", h="x", team="red"} 3 -"#, r#"{a="1", h="y", team="red"} 4 2"#];
    assert_eq!(run("/ on (a) group_left (team)", &many, &one).unwrap(), with);
    let right = [r#"{a="1", h="x"} -4 -"#, r#"{a="1", h="y"} -6 -2"#];
    assert_eq!(run("- on (a) group_right", &one, &many).unwrap(), right);
    let kept = [r#"{a="1", h="x"} 2 -"#, r#"{a="1", h="y"} 2 2"#];
    assert_eq!(run("< on (a) group_right", &one, &many).unwrap(), kept, "the left value stays");
}

#[test]
fn what_is_ambiguous_at_one_evaluation_fails() {
    let two = matrix(&[("a=1,h=x", &[Some(6.0), None]), ("a=1,h=y", &[Some(8.0), None])]);
    let one = matrix(&[("a=1", &[Some(2.0), Some(2.0)])]);
    let explicit = "multiple matches for labels: many-to-one matching must be explicit \
                    (group_left/group_right)";
    assert_eq!(run("/ on (a)", &two, &one).unwrap_err(), explicit);
    let duplicate = "found duplicate series on the right hand-side;many-to-many matching not \
                     allowed: matching labels must be unique on one side";
    assert_eq!(run("/ on (a)", &one, &two).unwrap_err(), duplicate);
    assert_eq!(run("/ on (a) group_left", &one, &two).unwrap_err(), duplicate);
    let unique = "multiple matches for labels: grouping labels must ensure unique matches";
    let odd = matrix(&[("a=1,h=", &[Some(1.0), None])]);
    assert_eq!(run("/ on (a) group_left (h)", &two, &odd).unwrap_err(), unique);
    let apart = matrix(&[("a=1,h=x", &[Some(6.0), None]), ("a=1,h=y", &[None, Some(8.0)])]);
    assert_eq!(run("/ on (a)", &apart, &one).unwrap(), [r#"{a="1"} 3 4"#]);
}

#[test]
fn sets_keep_add_and_leave_out_by_signature() {
    let set = |op: &str, left: &Matrix, right: &Matrix| {
        show(Set::new(&binary(op)).apply(left.clone(), right.clone(), 2))
    };
    let left = matrix(&[("a=1", &[Some(1.0), None]), ("a=2", &[Some(2.0), Some(3.0)])]);
    let right = matrix(&[("a=1", &[Some(7.0), Some(8.0)]), ("b=1", &[None, Some(9.0)])]);
    assert_eq!(set("and", &left, &right), [r#"{a="1"} 1 -"#]);
    assert_eq!(set("unless", &left, &right), [r#"{a="2"} 2 3"#]);
    let both = [r#"{a="1"} 1 8"#, r#"{a="2"} 2 3"#, r#"{b="1"} - 9"#];
    assert_eq!(set("or", &left, &right), both);
    assert_eq!(set("or on ()", &left, &right), [r#"{a="1"} 1 -"#, r#"{a="2"} 2 3"#]);
    assert_eq!(set("and on ()", &left, &right), show(left.clone()));
    assert_eq!(set("or", &matrix(&[]), &right), show(right.clone()));
    assert_eq!(set("unless", &left, &matrix(&[])), show(left.clone()));
}
