//go:build !hubbubdebug

package broadcast

const debug = false
