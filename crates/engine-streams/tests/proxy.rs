//! Properties of the rewriting of pages: any text is survived, and nothing is lost where nothing changes.

use proptest::prelude::*;
use sealane_engine_streams::proxy::{Destination, Place, rewrite_html};

proptest! {
    #[test]
    fn any_page_is_survived(page in "(<|>|\"|'|=|/|<a href=|<script|</script|<!--|-->| |\\PC){0,60}") {
        prop_assert_eq!(rewrite_html(&page, str::to_owned), page.clone());
        let place = Place { prefix: "/p", destination: "d", host: "h" };
        let _ = rewrite_html(&page, |address| place.rewrite(address));
        let _ = Destination::parse(&page);
    }
}
