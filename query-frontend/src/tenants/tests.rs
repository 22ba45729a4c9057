use logql::syntax::{parse, parse_matchers};

use super::*;

fn tenants() -> Tenants {
    let ids = ["acme", "globex"].map(|id| TenantId::new(id).unwrap()).to_vec();
    Tenants { ids, multi: true }
}

fn names(owners: &[TenantId]) -> String {
    owners.iter().map(TenantId::as_str).collect::<Vec<&str>>().join(",")
}

#[test]
fn matchers_on_tenants_choose_and_are_taken_away() {
    for (matcher, want) in [
        ("", "acme,globex"),
        (", __tenant_id__=\"acme\"", "acme"),
        (", __tenant_id__!=\"acme\"", "globex"),
        (", __tenant_id__=~\"glo.*|x\"", "globex"),
        (", __tenant_id__!~\".*e.*\"", ""),
        (", __tenant_id__=\"nobody\"", ""),
        (", __tenant_id__!=\"acme\", __tenant_id__!=\"globex\"", ""),
    ] {
        let mut expr = parse(&format!("{{app=\"x\"{matcher}}} |= \"y\"")).unwrap();
        let owners = owners(&mut expr, &tenants()).unwrap();
        assert_eq!(names(&owners[0]), want, "{matcher}");
        assert_eq!(expr, parse("{app=\"x\"} |= \"y\"").unwrap(), "{matcher}");
    }
}

#[test]
fn each_selector_of_a_query_chooses_for_itself() {
    let text = "sum(rate({a=\"1\", __tenant_id__=\"acme\"}[1m])) \
                / (sum(rate({a=\"1\", __tenant_id__=\"globex\"}[1m])) + sum(rate({a=\"1\"}[1m])))";
    let mut expr = parse(text).unwrap();
    let owners = owners(&mut expr, &tenants()).unwrap();
    let owners: Vec<String> = owners.iter().map(|owners| names(owners)).collect();
    assert_eq!(owners, ["acme", "globex", "acme,globex"]);
    assert_eq!(expr, parse(text).unwrap(), "the selectors keep their matchers");
}

#[test]
fn one_tenant_has_no_such_label_to_be_chosen_by() {
    let one = Tenants::one(TenantId::new("acme").unwrap());
    let mut matchers = parse_matchers("{__tenant_id__=\"globex\"}").unwrap();
    assert_eq!(names(&choose(&mut matchers, &one).unwrap()), "acme");
    assert_eq!(matchers.len(), 1);
}

#[test]
fn a_tenant_is_asked_for_the_selectors_that_choose_it() {
    let selectors = ["{a=\"1\", __tenant_id__=\"acme\"}", "{__tenant_id__=~\"acme|globex\"}"];
    let selectors: Vec<Vec<Matcher>> =
        selectors.iter().map(|text| parse_matchers(text).unwrap()).collect();
    let chosen = by_tenant(selectors[..1].to_vec(), &tenants()).unwrap();
    assert_eq!(chosen.len(), 1);
    assert_eq!((chosen[0].0.as_str(), chosen[0].1.len()), ("acme", 1));
    let chosen = by_tenant(selectors, &tenants()).unwrap();
    // The second selector is every stream of both.
    assert!(chosen.iter().all(|(_, selectors)| selectors.is_empty()));
    assert_eq!(chosen.len(), 2);
}
