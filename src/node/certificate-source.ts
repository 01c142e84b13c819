import { type BigIntStats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'
import type { CertificateSubjects, CertificateTexts } from './certificate-pair.ts'
import { readSecretFile, readSecretFileSync } from './secret-file.ts'
import { type SecretFile, secretFile, textOf } from './secret-file-rules.ts'

/** What a client certificate may come with, whether in files or as texts. */
export interface CertificateExtras {
  /** Opens an encrypted key. */
  readonly passphrase?: string | undefined
  /** PEM of the authorities to trust for servers, instead of those that Node brings, as in `node:tls`. */
  readonly ca?: string | undefined
  /** A file with them, looked at like the others. */
  readonly caFile?: string | undefined
}

/** A client certificate in PEM, with intermediate certificates after it, and its private key. */
export type ClientCertificateSource = CertificateExtras &
  (
    | { readonly certFile: string; readonly keyFile: string; readonly cert?: undefined; readonly key?: undefined }
    | { readonly cert: string; readonly key: string; readonly certFile?: undefined; readonly keyFile?: undefined }
  )

/** The texts, and what their files were like just before they were read. */
export interface CertificateReading {
  readonly texts: CertificateTexts
  /** Changes with the files. */
  readonly stamp: string
}

/** Where the texts of a certificate come from. */
export interface CertificateOrigin {
  readonly subjects: CertificateSubjects
  /** Whether the texts can change. */
  readonly hasFiles: boolean
  /** @throws ConfigurationError or TransportError for a file that cannot be read. */
  readSync(): CertificateReading
  /** `undefined` as long as the files are as they were. */
  readChanged(stamp: string): Promise<CertificateReading | undefined>
}

type Part = 'cert' | 'key' | 'ca'
type Files = Readonly<Partial<Record<Part, SecretFile>>>
type Options = Readonly<Record<string, unknown>>

/** Bundles of authorities are longer than other files. */
const MAX_CA_BYTES = 1024 * 1024

/**
 * Checks where a certificate comes from.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function certificateOrigin(
  source: ClientCertificateSource,
  permissions: 'private' | 'any' | undefined,
): CertificateOrigin {
  if (typeof source !== 'object' || source === null) throw invalid(`an object, got ${describe(source)}`)
  assertSource({ ...source })
  const files = filesOf(source, permissions)
  const entries = Object.entries(files) as [Part, SecretFile][]
  const paths = entries.map(([, { path }]) => path)
  const given = { cert: source.cert, key: source.key, ca: source.ca }

  function textsFrom(bytes: readonly Uint8Array[]): CertificateTexts {
    const read = Object.fromEntries(
      entries.map(([part, file], i) => [part, textOf(file, bytes[i] ?? new Uint8Array())]),
    )
    const { cert = '', key = '', ca } = { ...given, ...read }
    return { cert, key, ca, passphrase: source.passphrase }
  }

  return {
    subjects: { cert: subjectOf('cert', files), key: subjectOf('key', files), ca: subjectOf('ca', files) },
    hasFiles: entries.length > 0,
    readSync() {
      // The stamp comes first: a file that is replaced between the two looks is read once too often and never missed.
      const stamp = paths.map((path) => stampOf(statSync(path, { bigint: true, throwIfNoEntry: false }))).join()
      return { stamp, texts: textsFrom(entries.map(([, file]) => readSecretFileSync(file))) }
    },
    async readChanged(before) {
      const stats = await Promise.all(paths.map((path) => stat(path, { bigint: true }).catch(() => undefined)))
      const stamp = stats.map(stampOf).join()
      if (stamp === before) return undefined
      return { stamp, texts: textsFrom(await Promise.all(entries.map(([, file]) => readSecretFile(file)))) }
    },
  }
}

function assertSource(source: Options): void {
  const named = (names: readonly string[]): readonly string[] => names.filter((name) => source[name] !== undefined)
  for (const name of named(['certFile', 'keyFile', 'cert', 'key', 'passphrase', 'ca', 'caFile'])) {
    if (typeof source[name] !== 'string') throw invalid(`${name} to be a text, got ${describe(source[name])}`)
  }
  const forms = named(['certFile', 'keyFile', 'cert', 'key']).join()
  if (forms !== 'certFile,keyFile' && forms !== 'cert,key') {
    throw invalid(`certFile and keyFile, or cert and key, got ${forms.replaceAll(',', ', ') || 'none of them'}`)
  }
  if (named(['ca', 'caFile']).length === 2) throw invalid('ca or caFile, got both')
}

function filesOf({ certFile, keyFile, caFile }: ClientCertificateSource, permissions: Permissions): Files {
  return {
    ...(certFile !== undefined && { cert: fileOf('certFile', certFile, { permissions: 'any' }) }),
    ...(keyFile !== undefined && { key: fileOf('keyFile', keyFile, { permissions }) }),
    ...(caFile !== undefined && { ca: fileOf('caFile', caFile, { permissions: 'any', maxBytes: MAX_CA_BYTES }) }),
  }
}

type Permissions = 'private' | 'any' | undefined

function fileOf(option: string, path: string, options: Parameters<typeof secretFile>[2]): SecretFile {
  return secretFile(`clientCertificate: ${option}`, path, options)
}

function subjectOf(part: Part, files: Files): string {
  const file = files[part]
  return file === undefined ? `clientCertificate: ${part}` : `${part}File "${file.path}"`
}

function stampOf(stats: BigIntStats | undefined): string {
  if (stats === undefined) return 'none'
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

function invalid(expected: string): ConfigurationError {
  return new ConfigurationError(`clientCertificate: expected ${expected}`, { code: 'option_invalid' })
}
