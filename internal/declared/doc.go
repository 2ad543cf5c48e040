// Package declared keeps declared work in files, so that it survives a restart.
package declared
