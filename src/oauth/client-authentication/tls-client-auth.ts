import type { ClientAuthentication } from './client-authentication.ts'

/**
 * `tls_client_auth`: the client is known by the subject of its certificate, which an authority that the server trusts has signed
 * (RFC 8705 section 2.1). The client's `certificate` is what proves it.
 */
export function tlsClientAuth(): ClientAuthentication {
  return certificateAuthentication('tls_client_auth')
}

/**
 * `self_signed_tls_client_auth`: the client is known by the certificate itself, which is registered with the server
 * (RFC 8705 section 2.2). The client's `certificate` is what proves it.
 */
export function selfSignedTlsClientAuth(): ClientAuthentication {
  return certificateAuthentication('self_signed_tls_client_auth')
}

function certificateAuthentication(method: string): ClientAuthentication {
  return {
    method,
    needsCertificate: true,
    apply({ body }, { clientId }) {
      // The server has to know whose certificate to expect (RFC 8705 section 2).
      body.set('client_id', clientId)
    },
  }
}
