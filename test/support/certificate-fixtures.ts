import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ClientCertificateOptions, type ClientCertificateSource, clientCertificate } from 'evertoken/node'
import type { Certificate, CertificateAuthority } from './certificates.ts'
import { createCertificateAuthority } from './certificates.ts'
import { test as base } from './fixtures.ts'
import type { HostileServer } from './hostile-server.ts'
import { startMtlsServer } from './mtls-servers.ts'
import { createTestClock, type TestClock } from './test-clock.ts'

/** A certificate and its key in a folder of their own. */
export interface CertificateFiles {
  readonly folder: string
  readonly certFile: string
  readonly keyFile: string
  /** Replaces a file at once, as those do who rotate: written beside it and renamed. The key is the owner's alone unless told. */
  replace(file: 'cert' | 'key', text: string, mode?: number): Promise<void>
}

interface Fixtures {
  /** Issues what the servers accept. */
  readonly authority: CertificateAuthority
  /** Two clients of that authority. */
  readonly pairs: { readonly blue: Certificate; readonly green: Certificate }
  /** Those of the first client. */
  readonly files: CertificateFiles
  /** Tells each request's certificate. */
  readonly echo: HostileServer
  /** Opens certificates that trust the authority's servers. */
  readonly open: (
    source: ClientCertificateSource,
    options?: ClientCertificateOptions,
  ) => ReturnType<typeof clientCertificate>
}

let shared: Promise<CertificateAuthority> | undefined

/** `test` with client certificates, in files or not, that are closed in the end. */
export const test = base.extend<Fixtures & { readonly clock: TestClock }>({
  // Certificates are made in real time.
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  clock: async ({}, use) => use(createTestClock(Date.now())),
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  authority: async ({}, use) => {
    shared ??= createCertificateAuthority()
    await use(await shared)
  },
  pairs: async ({ authority }, use) => {
    const blue = await authority.issueClient({ name: 'blue', host: 'blue.example' })
    await use({ blue, green: await authority.issueClient({ name: 'green', host: 'green.example' }) })
  },
  files: async ({ pairs }, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'client-certificate-'))
    const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
    const replace: CertificateFiles['replace'] = async (file, text, mode = file === 'key' ? 0o600 : 0o644) => {
      await writeFile(join(folder, 'new'), text, { mode })
      await rename(join(folder, 'new'), file === 'key' ? keyFile : certFile)
    }
    await replace('cert', pairs.blue.cert)
    await replace('key', pairs.blue.key)
    await use({ folder, certFile, keyFile, replace })
    await rm(folder, { recursive: true })
  },
  echo: async ({ authority }, use) => {
    const server = await startMtlsServer(authority)
    await use(server)
    await server.close()
  },
  open: async ({ authority: { ca } }, use) => {
    const opened: ReturnType<typeof clientCertificate>[] = []
    await use((source, options) => {
      const certificate = clientCertificate({ ca, ...source }, options)
      opened.push(certificate)
      return certificate
    })
    await Promise.all(opened.map((certificate) => certificate.close()))
  },
})
