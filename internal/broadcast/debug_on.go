//go:build hubbubdebug

package broadcast

// debug makes every use of a released frame panic, at the price of not reusing
// any.
const debug = true
