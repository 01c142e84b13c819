import { readSecretFile } from './secret-file.ts'
import { type SecretFileOptions, secretFile, textOf } from './secret-file-rules.ts'

/**
 * Reads a client secret from a file whenever it is needed, so that a rotated one is used at once. One line break at the end does
 * not belong to the secret.
 *
 * @throws ConfigurationError with code `option_invalid` at once; with code `file_unreadable`, `file_invalid` or `file_permissions`
 * at use. TransportError with code `file_unsettled`.
 */
export function secretFromFile(path: string, options: SecretFileOptions = {}): () => Promise<string> {
  const file = secretFile('secretFromFile', path, options)
  return async () => textOf(file, await readSecretFile(file)).replace(/\r?\n$/, '')
}
