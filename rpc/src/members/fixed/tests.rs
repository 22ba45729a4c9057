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

#[tokio::test]
async fn stores_that_changed_places_are_all_found_whichever_was_doubted() {
    let known = || async {
        let (fakes, list): (Vec<Arc<Fake>>, Vec<Peer>) =
            ["a:1", "b:1", "c:1"].into_iter().map(peer).unzip();
        let members = Fixed::new(list, 1);
        (0..3).for_each(|n| says(&fakes[n], 7 + n as u128, ""));
        members.look(None).await;
        (fakes, members)
    };
    for doubted in [7, 8, 9] {
        let (fakes, members) = known().await;
        (0..3).for_each(|n| says(&fakes[(n + 1) % 3], 7 + n as u128, ""));
        let view = members.look(Some(StoreId(Ulid(doubted)))).await;
        let at = |store| view.peer(StoreId(Ulid(store))).unwrap().address.clone();
        assert_eq!([at(7), at(8), at(9)], ["b:1", "c:1", "a:1"], "{doubted} was doubted");
        assert!(view.nameless().is_empty());
    }
    // Nobody says who is where 7 was.
    let (fakes, members) = known().await;
    says(&fakes[1], 7, "");
    is_silent(&fakes[0]);
    let view = members.look(Some(StoreId(Ulid(8)))).await;
    assert_eq!(view.peer(StoreId(Ulid(7))).unwrap().address, "b:1");
    assert_eq!(view.nameless().len(), 1, "8 may be there");
    says(&fakes[0], 8, "");
    let view = members.look(None).await;
    assert!(view.nameless().is_empty() && view.peer(StoreId(Ulid(8))).is_some());
    // Two names of one process are no contradiction.
    says(&fakes[2], 7, "");
    says(&fakes[1], 7, "");
    let view = members.look(Some(StoreId(Ulid(9)))).await;
    assert!(view.nameless().is_empty() && view.peers().len() == 2);
}
