//! Properties of the rewriting of pages: any text is survived, and nothing is lost where nothing changes. The same of
//! messages over WebSockets.

use proptest::prelude::*;
use sealane_engine_streams::channel::{self, Version};
use sealane_engine_streams::command::Sizes;
use sealane_engine_streams::proxy::{Destination, Place, rewrite_html};

proptest! {
    #[test]
    fn any_page_is_survived(page in "(<|>|\"|'|=|/|<a href=|<script|</script|<!--|-->| |\\PC){0,60}") {
        prop_assert_eq!(rewrite_html(&page, str::to_owned), page.clone());
        let place = Place { prefix: "/p", destination: "d", host: "h" };
        let _ = rewrite_html(&page, |address| place.rewrite(address));
        let _ = Destination::parse(&page);
    }

    #[test]
    fn any_message_is_survived(messages in prop::collection::vec("(\\{|\\}|\"Width\"|\"Height\"|:|,|[0-9]|\\PC){0,12}", 0..6)) {
        let mut sizes = Sizes::default();
        for message in messages {
            for version in Version::ALL {
                if let Some(channel::Message::Bytes { bytes, .. }) = channel::parse(version, message.clone().into()) {
                    let _ = sizes.take(&bytes);
                }
            }
            let _ = sizes.take(message.as_bytes());
        }
    }
}
