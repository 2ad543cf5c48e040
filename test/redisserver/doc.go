// Package redisserver runs real redis-server processes for tests: alone ([New]), as a cluster
// ([NewCluster]) and with sentinels ([NewSentinel]). They die with their test. A [Proxy] between
// client and server goes wrong in the ways that a network and a Redis do.
package redisserver
