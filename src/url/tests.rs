//! What the parser takes, refuses and makes of it.

use super::*;

fn text(url: Result<Url, UrlError>) -> Result<String, UrlError> {
    url.map(|url| url.as_str().to_owned())
}

/// Checks a table with lines of the name of an error and the texts that must give it.
fn refuses(table: &str, parse: impl Fn(&str) -> Result<Url, UrlError>) {
    for line in table.trim().lines() {
        let mut words = line.split_whitespace();
        let error = format!("Err({})", words.next().unwrap());
        words.for_each(|word| assert_eq!(format!("{:?}", parse(word)), error, "{word}"));
    }
}

#[test]
fn parse_accepts_and_normalises() {
    for (given, expected) in [
        ("HTTPS://API.Example.com", "https://api.example.com/"),
        ("https://h:443/a?b#c", "https://h/a?b"),
        ("http://h:443?x", "http://h:443/?x"),
        ("http://h:/", "http://h/"),
        ("https://my_host./é ?é '", "https://my_host./%C3%A9%20?%C3%A9%20%27"),
        ("https://h/%zz/a/./b/%2E%2e/c/..", "https://h/%zz/a/"),
        ("https://h/../..//x^", "https://h//x%5E"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("http://[0:0::1]:80/", "http://[::1]/"),
        ("http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/"),
        ("https://h/a:b@c?u=https://x@y", "https://h/a:b@c?u=https://x@y"),
    ] {
        assert_eq!(text(Url::parse(given)).as_deref(), Ok(expected), "{given}");
    }
}

#[test]
fn parse_refuses() {
    let table = r"
        Scheme     h /a //h/ localhost:80 file:///a ws://h 1: :
        Userinfo   https://a@h/ https://a:b@h https://@h https://a@b@h?c
        Host       https:h https:/h https:// https:///h https://:80/ https://. https://?a
        Host       https://é.com/ https://a%2eb/ https://a..b/ https://a,b https://.a
        Host       http://127.1 http://0x7f.1 http://2130706433 http://1.2.3.04 http://a.0x
        Host       http://1.2.3.4. http://256.1.1.1 http://a.1 http://[::1%25eth0]/
        Host       http://[::1 http://::1 http://[::1]x/ http://[v1.a]/ http://a[::1]/
        Port       http://h:0 http://h:65536 http://h:+1 http://h:1a http://h:1:2
        Character  https://h\@e https://h/\ https:\\h";
    refuses(table, Url::parse);
    let spaced = " https://h|https://h |https://h/\u{a0}|ht\ntps://h|https://h/\t|https://h/#\0";
    for given in spaced.split('|') {
        assert_eq!(Url::parse(given), Err(UrlError::Character), "{given:?}");
    }
    assert_eq!(Url::parse(""), Err(UrlError::Empty));
    assert_eq!(Url::parse("https://a b/"), Err(UrlError::Host));
    let long = format!("https://h/{}", "é".repeat(MAX_LEN / 4));
    assert_eq!(Url::parse(&long), Err(UrlError::TooLong));
}

#[test]
fn parse_base_wants_a_bare_directory() {
    let base = |given| text(Url::parse_base(given));
    assert_eq!(base("https://h").as_deref(), Ok("https://h/"));
    assert_eq!(base("https://h/v1").as_deref(), Ok("https://h/v1/"));
    assert_eq!(base("https://h/v1/").as_deref(), Ok("https://h/v1/"));
    assert_eq!(base("https://h/v1?"), Err(UrlError::Query));
    assert_eq!(base("https://h/v1#"), Err(UrlError::Fragment));
    assert_eq!(base("https://a:b@h/v1"), Err(UrlError::Userinfo));
}

#[test]
fn join_stays_below_the_base() {
    let base = Url::parse_base("https://h/v1").unwrap();
    for (target, expected) in [
        ("", ""),
        ("?x=1", "?x=1"),
        ("users", "users"),
        ("users?x=1#frag", "users?x=1"),
        ("#f", ""),
        ("/v1/users", "users"),
        ("a/../b", "b"),
        ("../v1/b", "b"),
        ("things/a:b", "things/a:b"),
        ("./a:b", "a:b"),
        ("12:30", "12:30"),
        ("./docs:read", "docs:read"),
        ("?u=https://x/..", "?u=https://x/.."),
        ("a/b.json", "a/b.json"),
        ("a/./b./.c/", "a/b./.c/"),
        (".well-known/.", ".well-known/"),
        ("a//b", "a//b"),
        ("a..b/...", "a..b/..."),
        ("a%2Fb%5C;..", "a%2Fb%5C;.."),
        ("é b", "%C3%A9%20b"),
        ("a?q={x}", "a?q={x}"),
        ("a{b", "a%7Bb"),
    ] {
        let expected = format!("https://h/v1/{expected}");
        assert_eq!(text(base.join(target)), Ok(expected), "{target}");
    }
    let table = r"
        Relative      https://e/ HTTPS://e http:e https:e https:///e https://h/v1/ a:b
        Relative      javascript:x data:,x file:///etc/passwd x+y-z.1:
        LeavesOrigin  //e/x //u:p@e ///e //h/v1/ //
        Character     \\e\x /\e //e\@h %00 a%00b %2500
        Slash         /users /v1 / /v12/x /v1/../x
        Parameter     {id} a/{id}/b a/{id}?b=c é{}
        LeavesBase    .. ../admin %2e%2e/admin .%2E/admin a/../../b ..;/ a/..;x=1/b ..%2f %2e%2e%2f ..%5c
        LeavesBase    a%2f.. %252e%252e ..%252f ..%3f ..%23x";
    refuses(table, |target| base.join(target));
    let spaced = " https://e|ht\ntps://e/|/\t/e|x\r\nHost: e|x |\u{2003}x|?\0|#\x7f";
    for target in spaced.split('|') {
        assert_eq!(base.join(target), Err(UrlError::Character), "{target:?}");
    }
    for long in ["a".repeat(MAX_LEN), "é".repeat(MAX_LEN / 2)] {
        assert_eq!(base.join(&long), Err(UrlError::TooLong));
    }
}

#[test]
fn resolve_reads_what_servers_send() {
    let url = Url::parse("https://h:8443/a/b?q=1").unwrap();
    for (location, expected) in [
        ("", "https://h:8443/a/b?q=1"),
        ("#f", "https://h:8443/a/b?q=1"),
        ("?", "https://h:8443/a/b?"),
        ("c", "https://h:8443/a/c"),
        (r"..\c d", "https://h:8443/c%20d"),
        (" /c\r\n", "https://h:8443/c"),
        ("//u:p@e/x#f", "https://e/x"),
        (r"/\e", "https://e/"),
        ("/\t/e", "https://e/"),
        ("https:c", "https://h:8443/a/c"),
        ("https:/c", "https://h:8443/c"),
        ("http:e", "http://e/"),
        ("hTTps:///e:443", "https://e/"),
        (r"//g\@e", "https://g/@e"),
    ] {
        let resolved = text(url.resolve(location));
        assert_eq!(resolved.as_deref(), Ok(expected), "{location}");
    }
    let table = "
        Scheme  javascript:x ftp://h/ data:,
        Host    // //u@/ //é/ //0x7f.1/ //a%2eb
        Port    //h:0/ //h:x";
    refuses(table, |location| url.resolve(location));
    let long = "a".repeat(1 << 20);
    assert_eq!(url.resolve(&long), Err(UrlError::TooLong));
}

#[test]
fn parts() {
    let url = Url::parse("http://[::1]:8080/a?b=c&d&&e=f=g").unwrap();
    assert_eq!(url.origin().host_header(), "[::1]:8080");
    assert_eq!((url.path(), url.query()), ("/a", Some("b=c&d&&e=f=g")));
    assert_eq!(url.to_string(), "http://[::1]:8080/a?b=***&***&&e=***");
    assert_eq!(format!("{url:?}"), r#"Url("http://[::1]:8080/a?b=***&***&&e=***")"#);
    assert!(!url.is_https());
    assert_eq!(Url::parse("https://h/?").unwrap().query(), Some(""));
}

#[test]
fn origins_and_bases() {
    let base = Url::parse_base("https://h/v1").unwrap();
    for (other, same_origin, within) in [
        ("https://H:443/v1/a?b", true, true),
        ("https://h/v1", true, false),
        ("https://h/v12/", true, false),
        ("https://h/v1/%2e%2e/a", true, false),
        ("https://h/v1/..%2fa", true, false),
        ("http://h/v1/a", false, false),
        ("https://h:444/v1/a", false, false),
        ("https://h.e/v1/a", false, false),
    ] {
        let other = Url::parse(other).unwrap();
        assert_eq!((other.same_origin(&base), other.within(&base)), (same_origin, within));
    }
    // A base without a trailing slash still ends at a segment.
    let base = Url::parse("https://h/v1").unwrap();
    assert!(Url::parse("https://h/v1/a").unwrap().within(&base));
    assert!(!Url::parse("https://h/v12").unwrap().within(&base));
}

#[test]
fn encoding() {
    assert_eq!(encode_segment("a/b ~%é").as_deref(), Ok("a%2Fb%20~%25%C3%A9"));
    assert_eq!(encode_segment(""), Err(UrlError::Empty));
    assert_eq!(encode_segment("."), Err(UrlError::LeavesBase));
    assert_eq!(encode_segment(".."), Err(UrlError::LeavesBase));
    let mut query = String::new();
    push_query(&mut query, "a b", "&=é");
    push_query(&mut query, "c", "");
    assert_eq!(query, "a+b=%26%3D%C3%A9&c=");
    for start in ["https://h/", "https://h/?", "https://h/?#f"] {
        let mut url = Url::parse(start).unwrap();
        assert_eq!(url.append_query(""), Ok(()));
        assert_eq!(url.append_query("a=1"), Ok(()));
        assert_eq!(url.append_query("b=#"), Ok(()));
        assert_eq!(url.as_str(), "https://h/?a=1&b=%23");
        assert_eq!(url.append_query(&"c".repeat(MAX_LEN)), Err(UrlError::TooLong));
        assert_eq!(url.to_uri().to_string(), "https://h/?a=1&b=%23");
    }
}

#[test]
fn items_of_a_name_are_removed_and_the_others_stay_as_they_are() {
    for (given, expected) in [
        ("https://h/a", "https://h/a"),
        ("https://h/a?", "https://h/a?"),
        ("https://h/a?k=1", "https://h/a"),
        ("https://h/a?k", "https://h/a"),
        ("https://h/a?b=%20&%6B=1&&c=x+y&k=2", "https://h/a?b=%20&&c=x+y"),
        ("https://h/a?kk=1&K=2", "https://h/a?kk=1&K=2"),
    ] {
        let mut url = Url::parse(given).unwrap();
        url.remove_query("k");
        assert_eq!(url.as_str(), expected, "{given}");
    }
}

#[test]
fn an_origin_is_that_of_an_absolute_url() {
    let origin = |text: &'static str| Origin::of(&http::Uri::from_static(text));
    let here = origin("https://h:8443/a?b").expect("absolute");
    assert_eq!(here.to_uri(), "https://h:8443/");
    let uri = |text| http::Uri::from_static(text);
    assert!(here.is_of(&uri("https://h:8443/c")));
    for other in ["http://h:8443/", "https://h/", "https://h.example:8443/"] {
        assert!(!here.is_of(&uri(other)) && origin(other).is_some_and(|it| it != here), "{other}");
    }
    for none in ["/a", "h:80", "*", "ftp://h/"] {
        assert!(origin(none).is_none(), "{none}");
    }
}

#[test]
fn a_foreign_url_without_a_path_is_that_of_the_root() {
    for text in ["http://api.test", "http://api.test?a=b"] {
        let url = Url::of(text.parse().unwrap()).unwrap();
        let target = text.replacen("http://api.test", "/", 1);
        assert_eq!(url.to_target().to_string(), target);
        assert_eq!(url.to_target().path(), "/");
        assert_eq!(url.to_uri().to_string(), format!("http://api.test{target}"));
    }
}
