// Package guard stands at the pool's door: it tells who asks, how often they may, and who may not,
// and it tells browsers what an answer is good for.
//
//   - Proxies finds a client's address, also behind proxies that are trusted.
//   - Headers and CORS protect pages, and open what is public to pages of others.
//   - Buckets and Quota limit requests, Calls the calls of miners.
//   - Bans shuts out whoever sends nothing but invalid work, and Conduct finds out who that is.
//
// Two rules go before all others. Nothing here keeps a block from the nodes: no limit applies to
// submissions, and a banned miner's submission is judged if it may be a block. And nobody can have
// another one shut out: whoever mines may name any account, so that an account is never judged by
// what is sent in its name from elsewhere.
package guard
