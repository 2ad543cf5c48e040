// Package redisserver runs real redis-server processes for tests, alone and as a cluster. A [Server]
// dies with its test.
package redisserver
