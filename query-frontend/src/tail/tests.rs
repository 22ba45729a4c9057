use super::*;

#[test]
fn a_tenant_has_so_many_tails_and_no_more() {
    let tails = OpenTails::default();
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    let first = tails.open(&a, 2).unwrap();
    let _second = tails.open(&a, 2).unwrap();
    let refused = tails.open(&a, 2).unwrap_err();
    let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2)";
    assert_eq!(refused.to_string(), text);
    let _other = tails.open(&b, 2).unwrap();
    drop(first);
    let _third = tails.open(&a, 2).unwrap();
    let _any = tails.open(&a, 0).unwrap();
}
