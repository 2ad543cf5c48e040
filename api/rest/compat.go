package rest

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// MountCompat adds the routes in the shape of other pools.
func (v *Views) MountCompat(r chi.Router, middlewares ...func(http.Handler) http.Handler) {
	_, _ = r, middlewares
}
