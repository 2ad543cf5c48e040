// Package rest answers /api/v1 and the routes in the shape of other pools: what the pool, its accounts and its blocks
// do, as openapi.yaml says.
//
// It reads through the interfaces in Config and decides nothing. What costs the ledger or the journal much to say is
// kept in memory for two seconds and shared by all who ask; what the pool does as a whole is still told, with a
// notice, while Redis is away. An account that hides itself is told of only to its owner and to operators, and where
// it cannot be told whether an account hides, it is not named. All methods are safe for concurrent use.
package rest
