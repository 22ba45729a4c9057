use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn matrix(rows: &[(Pairs<'_>, &[Option<f64>])]) -> Matrix {
    rows.iter()
        .map(|(labels, values)| (Labels::from_pairs(labels.iter().copied()), values.to_vec()))
        .collect()
}

fn by(names: &[&str]) -> Option<Grouping> {
    let labels = names.iter().map(|&name| name.to_owned()).collect();
    Some(Grouping { without: false, labels })
}

fn run(op: VectorOp, parameter: usize, grouping: Option<Grouping>) -> Matrix {
    let nan = Some(f64::NAN);
    let input = matrix(&[
        (&[("app", "a"), ("env", "x")], &[Some(1.0), Some(4.0), nan]),
        (&[("app", "b"), ("env", "x")], &[Some(3.0), None, Some(2.0)]),
        (&[("app", "c")], &[Some(8.0), None, nan]),
    ]);
    let mut out = aggregate(&Aggregation { op, parameter, grouping }, input, 3);
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

#[test]
fn each_aggregation_gives_the_contracted_value() {
    use VectorOp::*;
    for (op, first, second) in
        [(Sum, 12.0, 4.0), (Avg, 4.0, 4.0), (Min, 1.0, 4.0), (Max, 8.0, 4.0), (Count, 3.0, 1.0)]
    {
        let out = run(op, 0, None);
        assert_eq!(out[0].0, Labels::empty());
        assert_eq!(out[0].1[..2], [Some(first), Some(second)], "{op:?}");
    }
    assert_eq!(run(Min, 0, None)[0].1[2], Some(2.0), "NaN only where there is nothing else");
    assert_eq!(run(Max, 0, None)[0].1[2], Some(2.0));
    assert!(run(Sum, 0, None)[0].1[2].is_some_and(f64::is_nan));
}

#[test]
fn groups_leave_out_labels_without_a_value() {
    let out = run(VectorOp::Sum, 0, by(&["env", "nosuch"]));
    assert_eq!(out.len(), 2);
    assert_eq!((out[0].0.len(), out[0].1[0]), (0, Some(8.0)));
    assert_eq!((out[1].0.to_string(), out[1].1[0]), ("{env=\"x\"}".to_owned(), Some(4.0)));
    let without = Grouping { without: true, labels: vec!["app".to_owned()] };
    assert_eq!(run(VectorOp::Sum, 0, Some(without)).len(), 2);
    let everything = Grouping { without: true, labels: Vec::new() };
    assert_eq!(run(VectorOp::Sum, 0, Some(everything)).len(), 3);
}

#[test]
fn topk_keeps_labels_and_selects_at_each_step() {
    let out = run(VectorOp::Topk, 1, None);
    let show: Vec<(String, Vec<Option<f64>>)> =
        out.into_iter().map(|(labels, values)| (labels.to_string(), values)).collect();
    assert_eq!(show.len(), 3);
    assert_eq!(show[0].1, [None, Some(4.0), None]);
    assert_eq!(show[1].1, [None, None, Some(2.0)]);
    assert_eq!(show[2].1, [Some(8.0), None, None]);
    assert_eq!(run(VectorOp::Topk, 1, by(&["env"])).len(), 3);
    assert_eq!(run(VectorOp::Bottomk, 1, None)[0].1[0], Some(1.0));
    assert_eq!(run(VectorOp::Topk, 5, None).len(), 3);
}

#[test]
fn averages_stay_finite_and_infinities_stay() {
    let mut cell = Cell::default();
    for value in [f64::MAX, f64::MAX] {
        avg::add(&mut cell, value);
    }
    assert_eq!(cell.value, f64::MAX);
    for value in [f64::INFINITY, 1.0] {
        avg::add(&mut cell, value);
    }
    assert_eq!(cell.value, f64::INFINITY);
}
