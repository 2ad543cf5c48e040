// Package docs reads the project's documents, so that tests can hold them to the program: their links, their tables and
// the commands that they show. Its own tests run each command of the quick starts against a demo.
package docs
