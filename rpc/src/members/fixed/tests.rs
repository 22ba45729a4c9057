//! Addresses become a ring.

use std::sync::Arc;

use ulid::Ulid;

use super::*;
use crate::ingester::IngesterError;
use crate::testing::{Fake, Reply};

fn peer(address: &str) -> (Arc<Fake>, Peer) {
    let fake = Arc::new(Fake::default());
    (fake.clone(), Peer { address: address.to_owned(), api: fake })
}

fn says(fake: &Fake, store: u128, zone: &str) {
    let identity = Identity { store: StoreId(Ulid(store)), zone: zone.to_owned() };
    *fake.identify.lock().unwrap() = Some(Reply::Answer(identity));
}

fn is_silent(fake: &Fake) {
    let error = IngesterError::Unavailable("refused".to_owned());
    *fake.identify.lock().unwrap() = Some(Reply::Fail(error));
}

fn stores(view: &View) -> Vec<(u128, Phase)> {
    view.state().ingesters().map(|i| (i.store.0.0, i.phase)).collect()
}

#[tokio::test]
async fn who_answers_is_placed_by_its_address_and_who_does_not_is_nameless() {
    let (a, first) = peer("a:1");
    let (b, second) = peer("b:1");
    let members = Fixed::new(vec![first.clone(), second.clone(), first.clone()], 3);
    assert_eq!(members.view().nameless().len(), 2);
    says(&a, 7, "x");
    is_silent(&b);
    let view = members.look(None).await;
    assert_eq!(stores(&view), [(7, Phase::Active)]);
    assert_eq!(view.nameless()[0].address, "b:1");
    assert!(view.nameless()[0].why.contains("refused"), "{:?}", view.nameless());
    assert_eq!((view.write_factor(), view.zone(StoreId(Ulid(7)))), (3, "x"));
    says(&b, 3, "y");
    let both = members.look(None).await;
    assert_eq!(stores(&both), [(3, Phase::Active), (7, Phase::Active)]);
    assert!(both.nameless().is_empty() && both.version() > view.version());
    assert_eq!(both.placed(0).address, "b:1");
    assert_eq!(both.name(StoreId(Ulid(7))), "a:1");
    // Another list of the same addresses, in another order, places alike.
    let other = Fixed::new(vec![second, first], 3);
    says(&a, 7, "x");
    says(&b, 3, "y");
    let other = other.look(None).await;
    let spot = ring::Spot::of_tenant(&base::TenantId::new("t").unwrap());
    for key in 0..100 {
        let list = |view: &View| {
            let replicas = view.placement().replicas(spot(base::StreamKey(key)), 3, |_| true);
            let stores = replicas.as_slice().iter().map(|&at| view.placed(at).address.clone());
            stores.collect::<Vec<_>>()
        };
        assert_eq!(list(&both), list(&other));
        assert_eq!(list(&both).len(), 2);
    }
}

#[tokio::test]
async fn a_replaced_store_is_gone_where_others_have_its_rows_and_forgotten_where_not() {
    for factor in [1, 3] {
        let (a, first) = peer("a:1");
        let members = Fixed::new(vec![first], factor);
        says(&a, 7, "");
        members.look(None).await;
        // Nobody doubts it: nobody is asked.
        says(&a, 8, "");
        assert_eq!(stores(&*members.look(None).await), [(7, Phase::Active)]);
        let view = members.look(Some(StoreId(Ulid(7)))).await;
        let gone = [(7, Phase::Gone), (8, Phase::Active)];
        assert_eq!(stores(&view), if factor == 3 { &gone[..] } else { &gone[1..] });
        assert_eq!(view.peers().len(), 1);
        assert!(view.peer(StoreId(Ulid(7))).is_none());
        // It comes back.
        says(&a, 7, "");
        let view = members.look(Some(StoreId(Ulid(8)))).await;
        let back = [(7, Phase::Active), (8, Phase::Gone)];
        assert_eq!(stores(&view), if factor == 3 { &back[..] } else { &back[..1] });
    }
}
