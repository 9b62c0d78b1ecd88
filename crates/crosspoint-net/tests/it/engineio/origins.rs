//! Pages of other origins.

use super::*;

const PAGE: &str = "https://page.example";

async fn asked(served: &Served, method: &str, query: &str, more: &str) -> Answer {
    let more = format!("Origin: {PAGE}\r\n{more}");
    ask(&mut served.memory(), &request(method, query, &more)).await
}

fn serve_to(origins: &[&str], cors_credentials: bool) -> Served {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    let http = HttpOptions { origins, ..HttpOptions::default() };
    serve_with(Config { cors_credentials, ..Config::default() }, http, Arc::new(Echoes))
}

#[tokio::test]
async fn a_page_of_an_origin_that_may_is_told_so() {
    let query = "EIO=4&transport=polling";
    for (origins, credentials) in [(&["*"], false), (&[PAGE], true)] {
        let served = serve_to(origins, credentials);
        let answer = asked(&served, "GET", query, "").await;
        assert_eq!(answer.status, 200);
        let yes = credentials.then_some("true");
        for answer in [
            asked(&served, "GET", "EIO=4", "").await,
            asked(&served, "OPTIONS", query, "Access-Control-Request-Headers: x-own\r\n").await,
            answer,
        ] {
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(PAGE));
            assert_eq!(answer.header("Access-Control-Allow-Credentials"), yes);
            assert_eq!(answer.header("Vary"), Some("Origin"));
            let preflight = answer.status == 204;
            let own = answer.header("Access-Control-Allow-Headers");
            assert_eq!(own, preflight.then_some("x-own"));
            let methods = answer.header("Access-Control-Allow-Methods");
            assert_eq!(methods, preflight.then_some("GET, POST, OPTIONS"));
        }
    }
    // Clients of revision 3 send cookies unless told otherwise.
    let three = "EIO=3&transport=polling";
    let served = serve_to(&[PAGE], false);
    for method in ["GET", "OPTIONS"] {
        let answer = asked(&served, method, three, "").await;
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"), "{method}");
    }
    // A program says no origin, and needs no word of that.
    let served = serve_to(&[], false);
    let answer = get(&served, query).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_session_by_any_way() {
    let served = serve_to(&[], true);
    let own = begin(&served, 4).await;
    for (method, query, more) in [
        ("GET", "EIO=4&transport=polling", ""),
        ("OPTIONS", "EIO=4&transport=polling", ""),
        ("GET", &own, ""),
        ("POST", &own, "Content-Length: 0\r\n"),
    ] {
        let answer = asked(&served, method, query, more).await;
        let (status, body) = said(&answer);
        assert_eq!(status, 403, "{method} {body}");
        assert!(body.contains("http.origins"), "{body}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), None);
    }
    let upgrade = upgrade_to("EIO=4&transport=websocket");
    let upgrade = upgrade.replace("Host: hub", &format!("Host: hub\r\nOrigin: {PAGE}"));
    assert_eq!(ask(&mut served.memory(), &upgrade).await.status, 403);
    assert_eq!(served.hits("http.origins"), 5);
    assert_eq!(said(&post(&served, &own, "4a").await), (200, "ok"), "its own client goes on");
}

/// As an image or a script of a page is asked for.
#[tokio::test]
async fn what_a_page_of_another_site_includes_begins_no_session() {
    let query = "EIO=3&transport=polling&clientId=ann";
    for (site, origins, status) in [
        ("cross-site", &[][..], 403),
        ("cross-site", &["*"][..], 200),
        ("same-origin", &[][..], 200),
        ("none", &[][..], 200),
    ] {
        let served = serve_to(origins, false);
        let more = format!("Sec-Fetch-Site: {site}\r\n");
        let answer = ask(&mut served.memory(), &request("GET", query, &more)).await;
        assert_eq!(answer.status, status, "{site} {origins:?}");
    }
}
