// Package wallet has the pool's coins and has them signed, in three ways: by a key in a file of this host
// ([HotKey]), by the wallet of a Bitcoin Core or Knots node ([NodeWallet]), and by somebody who is not
// reached from here and gets a PSBT (BIP 174) instead ([Offline], [EncodePSBT], [DecodePSBT]).
//
// They spend P2WPKH and P2TR outputs by a single key, and nothing else: then the transaction's id is known
// before it is signed, and its weight too. Whoever has signed, nothing goes out before every input's script
// was run and every signature was seen to cover the whole transaction.
package wallet
