// Package browser looks at the dashboard's pages with Chromium, as people do: each page in each state,
// narrow and wide, light and dark, with and without JavaScript, and with axe-core, which finds what
// would keep people from using them.
//
// The tests need Debian's package chromium, and axe-core, which `npm ci` in this folder installs.
package browser
