import { X509Certificate } from 'node:crypto'
import { test as base } from './certificate-fixtures.ts'
import type { Certificate } from './certificates.ts'
import { type MtlsProvider, selfSignedClient, startMtlsProvider } from './mtls-provider.ts'
import { type MtlsResourceServer, startMtlsResourceServer } from './mtls-servers.ts'

interface Fixtures {
  /** Registered by itself; no authority has signed it. */
  readonly own: Certificate
  /** Knows clients by the subject, the name or the whole of their certificates. */
  readonly provider: MtlsProvider
  /** Takes the provider's tokens over the certificate that they are bound to. */
  readonly api: MtlsResourceServer
}

/** `test` with a real authorization server for clients with certificates, and an API behind it. */
export const test = base.extend<Fixtures>({
  own: async ({ authority }, use) => use(await authority.issueClient({ name: 'own', selfSigned: true })),
  provider: async ({ authority, own }, use) => {
    const byAuthority = { token_endpoint_auth_method: 'tls_client_auth' } as const
    const certificate = new X509Certificate(own.cert)
    const provider = await startMtlsProvider({
      authority,
      clients: [
        { ...byAuthority, client_id: 'by-subject', tls_client_auth_subject_dn: 'CN=blue' },
        { ...byAuthority, client_id: 'by-name', tls_client_auth_san_dns: 'blue.example' },
        selfSignedClient('by-certificate', certificate),
        { ...byAuthority, client_id: 'blue', tls_client_auth_subject_dn: 'CN=blue' },
        { ...byAuthority, client_id: 'green', tls_client_auth_subject_dn: 'CN=green' },
        selfSignedClient('own', certificate),
      ],
    })
    await use(provider)
    await provider.close()
  },
  api: async ({ authority, provider }, use) => {
    const api = await startMtlsResourceServer(authority, provider)
    await use(api)
    await api.close()
  },
})
