// Package api is the door of the pool: JSON-RPC over HTTP for miners, the dashboard and /api/v1 for people and their
// programs, and what operators look at.
//
// POST / speaks JSON-RPC as Bitcoin Core does, in versions 1.0, 1.1 and 2.0, so that every program
// which can mine against a node can mine against the pool. Three rules differ from Core's, because
// of how miners behave:
//
//   - submitblock always has a result: null, or the reason of a rejection (BIP 22). Miners answer
//     a JSON error or an HTTP status of 400 and more by sending the same block again, for ever, so
//     those are kept for trouble that sending it again cures.
//   - Trouble that a retry cures is HTTP 503 with a JSON-RPC error of a non-zero code, in every
//     version of JSON-RPC. It is the one answer to getblocktemplate after which every known miner
//     asks again, instead of turning to another protocol.
//   - Who is not known is answered HTTP 401 with a JSON-RPC error that says what to change.
//
// Who is banned is answered HTTP 403 with a JSON-RPC error that says why and until when, and who calls too often HTTP
// 429; both with Retry-After, where it is known when to come back. Neither is ever the answer to a submission. That of a
// banned miner has the result "banned", with the same text in X-Reject-Detail, unless it is a block, which goes its way
// and counts. A token with the scope mine stands for a user name and password: one that is not right is answered HTTP
// 401, and one that is not good for mining HTTP 403.
//
// A proposal (BIP 23) is answered like a submission: with a result for all that can be wrong with
// it. A refusal has one word in the result; the header X-Reject-Detail says more, to people, in
// the answers to single submissions and proposals. Who has spent what a miner may have checked is
// told by HTTP 503 and the header Retry-After when to come back.
//
// What the specifications leave open is decided so:
//
//   - A body that ends in the middle, or is too large to be read, is taken for a submission if it
//     says so before that point, and also if it is too large and has not said what it is: nothing
//     else is that large. A submission is rejected then like any other that cannot be decoded.
//   - A batch holds up to 50 calls, which are served in turn. A long poll in a batch is an error,
//     because the other calls would wait with it.
//   - A submission of a user who is not known is answered unknown-user, but goes its way: it may
//     be a block. A proposal is answered the same, and goes nowhere.
//   - A submission is ruled on even if its miner hangs up. A proposal ends then: its answer is all
//     that it is good for.
//   - A password is free text. A part of it that reads d=N asks for a share difficulty; d= alone
//     asks for nothing; d= with what is no difficulty is an error on getblocktemplate.
//   - A long poll may send spaces before its JSON, to keep its connection alive. Once it has, it
//     is answered with work or not at all.
//
// With Config.People there are pages, and /api/v1 with its events and the shapes of other pools; without it GET
// /api/v1/template/current alone, which shows what is being mined. openapi.yaml says what each of these routes takes and
// answers and which token it asks for; callers are held to that, and a route that is not in it asks for what nobody has.
// Before them go, from the outside: headers for browsers and CORS, the quota of the client's address, bans, and the
// token, so that nobody tries out tokens faster than the quota lets him. Nothing of that stands before a miner's call.
// Errors are problems as in RFC 9457.
//
// GET /healthz, /readyz and /metrics are for operators; /metrics may have a listener of its own.
package api
