// Package zmqtest announces blocks as a node does over ZeroMQ: a PUB socket that puts on the wire what libzmq 4 does.
package zmqtest
