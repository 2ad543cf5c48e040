// Package web is the dashboard: pages for miners, operators and the curious, made on the server.
//
// A page asks the handlers of the REST API for what it shows (Config.Views), all parts at once and
// with one deadline. A part that is not to be had says so in its own place, and the rest of the page
// stands. Nothing on a page needs JavaScript: lists are tables, choices are links and forms, and
// charts have their figures in a table. With JavaScript a page hears of news through server-sent
// events, gets itself again and exchanges what has changed; nothing is formatted twice.
//
// All that a page is made with is in the binary, under names that change with the content. The
// Content-Security-Policy lets nothing else in: no inline script, no inline style, no other site.
package web
