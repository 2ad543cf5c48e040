// Package redisstore is the share ledger on Redis, one server, Sentinel or Cluster, with the journal of payouts and
// what gateways share for people: challenges, revocations, profiles, bans, acts, limits, events, series, presence.
//
// Accounts are spread over partitions, whose number is fixed when the ledger is made. All keys of a
// partition carry one hash tag, so everything that one script touches lives in one slot. Each verb is
// one script: it changes everything or nothing, and doing it again changes nothing. The package
// implements what shares declares and knows nothing of HTTP and full nodes. All exported types are
// safe for concurrent use.
package redisstore
