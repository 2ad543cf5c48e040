// Package fieldclients imitates the GBT programs in the field closely enough that what it makes of
// an answer is what they would make of it: minerd (pooler's cpuminer 2.5.1), cpuminer-multi 1.3.7,
// and bfgminer 5.5.0 with libblkmaker 0.6.0, each as built against libcurl 7.88. They put blocks
// together from bytes by themselves, and share no code with the pool.
package fieldclients
