// Package storetest holds the contracts of stores, for the tests of whoever implements one.
package storetest
