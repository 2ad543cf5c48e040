// Package bitcoindtest replays recorded answers of a bitcoind to tests: the bytes, the HTTP
// status and the refusal of wrong passwords are what the node sent.
package bitcoindtest
