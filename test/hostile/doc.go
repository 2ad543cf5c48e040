// Package hostile holds a whole gateway, through HTTP, to what careless and hostile miners try.
package hostile
