// Package archtest holds the project's rules about itself as tests: which package may import what,
// what every package must say of itself, and how large things may grow. It has no code.
package archtest
