"""Names as data: headers that apps believe, and host names that are some and that are none."""

# Headers by who believes them. None of them reaches the app.
BELIEVED = {
    "an app's own gateway": """
        X-User X-User-Name X-Username X-User-Email X-User-Role X-User-Roles X-User-Groups X-Role
        X-Roles X-Auth-Subject X-Forwarded-Login""",
    "the path of the app": """
        Script-Name X-Script-Name X-Forwarded-Prefix X-Forwarded-Path X-Forwarded-Context
        X-Ingress-Path X-Base-Path X-Proxy-Prefix""",
    "the URL": """
        X-Original-URL X-Original-URI X-Original-Host X-Original-Method X-Rewrite-URL X-Rewrite-Path
        X-Forwarded-Uri X-Forwarded-Method X-Replaced-Path X-Envoy-Original-Path
        X-Original-Forwarded-For X-WAWS-Unencoded-URL""",
    "the scheme": """
        X-Forwarded-SSL X-Forwarded-Scheme X-Forwarded-Protocol X-Scheme X-URL-Scheme
        Front-End-Https CF-Visitor CloudFront-Forwarded-Proto X-ARR-SSL X-AppService-Proto
        WL-Proxy-SSL HTTPS""",
    "host and port": """
        X-Forwarded-Port X-Forwarded-Server X-Host X-HTTP-Host-Override
        X-Real-Host X-Server-Name""",
    "the client's address": """
        Forwarded Forwarded-For X-Forwarded X-Forwarded-By X-Forwarded-Client-IP
        Client-IP X-Client-IP X-Cluster-Client-IP True-Client-IP X-True-Client-IP X-Remote-IP
        X-Remote-Addr Remote-Addr
        X-Originating-IP X-ProxyUser-Ip Proxy-Client-IP WL-Proxy-Client-IP CF-Connecting-IP
        CF-Connecting-IPv6 Fastly-Client-IP Fly-Client-IP Incap-Client-IP X-Azure-ClientIP
        X-Azure-SocketIP X-Appengine-User-IP X-Envoy-External-Address X-Vercel-Forwarded-For
        X-Custom-IP-Authorization Ali-CDN-Real-IP DO-Connecting-IP X-Sucuri-ClientIP""",
    "a proxy for child processes": "Proxy",
    "who is signed in, by its own name": """
        Remote-User Remote-Groups Remote-Name Remote-Email X-Remote-User X-Remote-Group
        X-Remote-Groups X-Remote-Email X-WEBAUTH-USER X-WEBAUTH-EMAIL X-WEBAUTH-ROLE Auth-User
        X-Auth-User X-Auth-Email X-Authenticated-User X-Authenticated-Userid X-Authenticated-Groups
        X-SSO-User X-Proxy-User X-Proxy-Remote-User X-Krb-User X-Shib-User""",
    "oauth2-proxy": """
        X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username
        X-Forwarded-Access-Token X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups
        X-Auth-Request-Preferred-Username X-Auth-Request-Access-Token""",
    "other gateways": """
        X-authentik-username X-authentik-groups X-authentik-email X-authentik-uid X-Vouch-User
        X-Vouch-IdP-Claims-Email X-Token-User-Name X-Token-User-Email X-Token-Subject
        X-Pomerium-Jwt-Assertion X-Pomerium-Claim-Email X-Pomerium-Claim-Groups Tailscale-User-Login
        Tailscale-User-Name Cf-Access-Jwt-Assertion Cf-Access-Authenticated-User-Email X-Consumer-ID
        X-Consumer-Username X-Consumer-Custom-ID X-Credential-Identifier X-Userinfo OIDC-CLAIM-email
        OIDC-CLAIM-sub""",
    "clouds": """
        X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken X-Amzn-Mtls-Clientcert
        X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-NAME X-MS-CLIENT-PRINCIPAL-ID
        X-MS-TOKEN-AAD-ID-TOKEN X-Goog-Authenticated-User-Email X-Goog-Authenticated-User-ID
        X-Goog-IAP-JWT-Assertion X-Endpoint-API-UserInfo X-Apigateway-Api-Userinfo
        X-Appengine-User-Email X-Appengine-Inbound-Appid X-Appengine-Cron""",
    "the client's certificate": """
        Client-Cert Client-Cert-Chain X-Client-Cert X-Client-DN X-Client-Verify
        X-Forwarded-Client-Cert X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info
        X-SSL-Client-Cert X-SSL-Client-S-DN X-SSL-Client-Verify X-SSL-Client-DN X-SSL-Client-CN
        X-SSL-Client-Serial SSL-Client-Cert SSL-Client-S-DN SSL-Client-Verify X-ARR-ClientCert
        X-TLS-Client-Cert""",
}

# Headers that say nothing of the kind, or that apps read from clients. All of them reach the app.
ORDINARY = """
    Authorization Cookie Accept-Language If-Match Origin Referer DNT Api-Key X-Api-Key X-CSRFToken
    X-Requested-With X-HTTP-Method-Override X-User-Id X-Email X-Tenant-ID X-Auth-Token
    X-Access-Token X-Amzn-Trace-Id Traceparent Sec-Fetch-Site
    HX-Request X-Hub-Signature-256
    Stripe-Signature X-GitHub-Event X-Forwardedness Remote
"""

HOSTS = r"""
    a a_b A.Example example.com example.com. www.example.com:8443 a: a:0 a:80 a:65535 127.0.0.1
    192.0.2.1:81 xn--bcher-kva.example xn--n3h.example 0x7f.1 -a- [::] [::1] [::1]:80 [1::]
    [2001:db8::7] [2001:DB8::7]:443 [1:2:3:4:5:6:7:8] [::ffff:192.0.2.1] [1:2:3:4:5:6:192.0.2.1]
"""
NO_HOSTS = r"""
    a@b a:b@c user:pass@a a:80@b a,b a;b <x> $host ${host} %61 a%00 a:99999 a:65536 a:-1 a:+80
    a:80:80 a:b a/b a?b a#b a\b a'b a"b a|b a*b *.a (a) {a} a=b a&b a!b a~b a^b `a` .a a..b .. . :
    :80 @ / ? [1.2.3.4] [] [:] [:::] [1::2::3] [12345::] [1:2:3] [:1:2::] [1:2:3:4:5:6:7:]
    [1:2:3:4:5:6:7:8:9] [g::] [::1 ::1] ::1 [::1]x x[::1] [::1]:x [fe80::1%25eth0] [v1.a] http://a
    bücher.example example。com
"""
# As long as names may be, and longer; and what is no word.
HOSTS = [*HOSTS.split(), "a" * 63, ".".join(["a" * 60] * 4)]
NO_HOSTS = [*NO_HOSTS.split(), "", "a b", "a\tb", "a, b", "a" * 64, ".".join(["a" * 60] * 5)]
