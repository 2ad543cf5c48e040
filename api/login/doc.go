// Package login lets an address prove itself: it signs what the pool asks, and gets a token for its account.
//
// The pool asks with a text for people, in the spirit of EIP-4361: who asks, which address, until when, and
// that nothing is paid by it. It is one line of at most 240 printable characters, because hardware wallets sign
// no longer and no other texts, and because what has no line ends survives being copied. Each question can be
// answered once, rightly or wrongly. There are no passwords, so there are none to lose.
package login
