import { type FilePermissions, readSecretFile } from './secret-file.ts'

/** How a secret in a file is read. */
export interface SecretFromFileOptions {
  /** The longest file that is read. Default 64 KiB. */
  readonly maxBytes?: number | undefined
  /** Default `private`: a file that others can read is refused. */
  readonly permissions?: FilePermissions | undefined
}

/**
 * A client secret that is kept in a file, read for every attempt and without the white space around it:
 * `clientSecretBasic(secretFromFile('/run/secrets/client'))`.
 *
 * The function throws ConfigurationError with code `file_invalid` or `file_permissions`, and TransportError with code `file_unsettled`.
 */
export function secretFromFile(path: string, options: SecretFromFileOptions = {}): () => Promise<string> {
  return async () => (await readSecretFile(path, { ...options, subject: 'secretFromFile' })).trim()
}
