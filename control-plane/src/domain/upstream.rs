//! Where a provider's API may be. The edge sends provider keys there, so an
//! address within somebody's own network is refused unless the operator said
//! otherwise (`ALLOW_PRIVATE_UPSTREAMS`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;
use url::{Host, Url};

const LONGEST: usize = 512;

/// How names end that mean something only within a network, metadata services among them.
const LOCAL_NAMES: [&str; 8] =
    [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp", ".home"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UpstreamError {
    #[error("is not a URL such as https://api.example.com")]
    NotAUrl,
    #[error("has more than {LONGEST} characters")]
    TooLong,
    #[error("must have neither user name, password, query nor fragment")]
    Extras,
    #[error("must start with https://; http:// is only for loopback addresses")]
    NotHttps,
    #[error(
        "is a loopback, private, link-local or metadata address, which needs ALLOW_PRIVATE_UPSTREAMS=true"
    )]
    Private,
}

/// The URL as it is stored: normalized, without a slash at its end.
pub fn normalize(text: &str, allow_private: bool) -> Result<String, UpstreamError> {
    if text.len() > LONGEST {
        return Err(UpstreamError::TooLong);
    }
    let url = Url::parse(text).map_err(|_| UpstreamError::NotAUrl)?;
    let host = url.host().ok_or(UpstreamError::NotAUrl)?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || url.query().is_some() || url.fragment().is_some() {
        return Err(UpstreamError::Extras);
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&host) => {}
        _ => return Err(UpstreamError::NotHttps),
    }
    if is_private(&host) && !allow_private {
        return Err(UpstreamError::Private);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a host is this machine.
pub fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => embedded(*ip).map_or(ip.is_loopback(), |ip| ip.is_loopback()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => is_private_ip(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => is_private_ip(IpAddr::V6(*ip)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            // A name without a dot is looked up in the network it is asked from.
            !name.contains('.') || LOCAL_NAMES.iter().any(|end| name.ends_with(end))
        }
    }
}

/// Whether an address is of somebody's own network, or of none.
pub fn is_private_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                // The metadata address of most clouds is link-local: 169.254.169.254.
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_documentation()
                || matches!((a, b, c), (0 | 240.., ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18 | 19, _))
        }
        IpAddr::V6(ip) => match embedded(ip) {
            Some(ip) => is_private_ip(IpAddr::V4(ip)),
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
                    // Site-local, deprecated but routed by some.
                    || ip.segments()[0] & 0xffc0 == 0xfec0
            }
        },
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64 or 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_normalized() {
        for (given, stored) in [
            ("https://api.openai.com", "https://api.openai.com"),
            ("https://api.groq.com/openai/", "https://api.groq.com/openai"),
            ("HTTPS://API.Example.COM:443/a//", "https://api.example.com/a"),
            ("https://api.example.com:8443/", "https://api.example.com:8443"),
            ("https://8.8.8.8", "https://8.8.8.8"),
            ("https://[2606:4700::1111]", "https://[2606:4700::1111]"),
        ] {
            assert_eq!(normalize(given, false).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn addresses_of_ones_own_network_are_refused_unless_allowed() {
        for host in [
            "localhost",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "metadata",
            "metadata.google.internal",
            "db.internal",
            "printer.local",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:0a00:0001::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
        ] {
            let url = format!("https://{host}");
            assert_eq!(normalize(&url, false), Err(UpstreamError::Private), "{url}");
            assert!(normalize(&url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn http_is_for_loopback_only() {
        assert_eq!(normalize("http://api.openai.com", true), Err(UpstreamError::NotHttps));
        assert_eq!(normalize("http://10.0.0.1", true), Err(UpstreamError::NotHttps));
        assert_eq!(normalize("http://127.0.0.1:9000", false), Err(UpstreamError::Private));
        assert_eq!(normalize("http://127.0.0.1:9000/", true).as_deref(), Ok("http://127.0.0.1:9000"));
        assert_eq!(normalize("http://[::1]:1/x", true).as_deref(), Ok("http://[::1]:1/x"));
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        for extra in
            ["https://u@a.example", "https://u:p@a.example", "https://a.example?k=v", "https://a.example#f"]
        {
            assert_eq!(normalize(extra, true), Err(UpstreamError::Extras), "{extra}");
        }
        for bad in ["", "api.openai.com", "/v1", "https://", "data:,x"] {
            assert_eq!(normalize(bad, true), Err(UpstreamError::NotAUrl), "{bad}");
        }
        assert_eq!(normalize("ftp://a.example", true), Err(UpstreamError::NotHttps));
        assert_eq!(
            normalize(&format!("https://a.example/{}", "a".repeat(600)), true),
            Err(UpstreamError::TooLong)
        );
    }
}
