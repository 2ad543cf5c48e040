// Package token makes and checks the JSON Web Tokens (RFC 7519) that the door lets people in with.
//
// A token says whose it is (sub: an account, or the empty text for an operator), what it is good for (scope,
// as in RFC 8693, section 4.2), until when (exp) and which one it is (jti), so that it can be revoked. It says
// so to one pool, which aud names, and is of who issued it, whom iss names and whose key has signed it.
//
// What tokens say about their own verification decides nothing (RFC 8725). A key is looked up by its id, in
// memory, and each key is pinned to one algorithm: EdDSA with Ed25519, ES256 or HS256. A token that names
// another algorithm, brings or points to a key of its own (jwk, jku, x5c, x5u), or wants to be understood in
// special ways (crit) is refused. Keys come from JWK Sets (RFC 7517): a File on this host, which the pool's
// own tokens are signed with, and a Remote that somebody else publishes. Each is for the tokens of one issuer,
// and only a file has secrets.
//
// A Verifier keeps what it has verified for a while, as miners send their token with every request. It asks
// again each time whether the key is still there, whether the time is right and whether the token is revoked.
package token
