# Varnish in front of the gateway, whose answers are not cached. The gateway beside it: HOST=127.0.0.1, TRUSTED_PROXIES=127.0.0.1,
# and a key for tokens (or AUTH=none).

vcl 4.1;

backend gateway {
  .host = "127.0.0.1";
  .port = "8080";
}

sub vcl_recv {
  if (req.url ~ "^/metrics(\?|$)") {
    return (synth(404));
  }
  # What browsers say of themselves is replaced.
  set req.http.X-Forwarded-For = client.ip;
  set req.http.X-Forwarded-Host = req.http.Host;
  unset req.http.X-Forwarded-Port;
  # Streams as they are: a slow client must hold back its own stream, not fill the memory of Varnish.
  if (req.url ~ "^/api/(stream|events/[^/]+/stream)(\?|$)") {
    return (pipe);
  }
  return (pass);
}

sub vcl_pipe {
  set bereq.http.Connection = "close";
}
