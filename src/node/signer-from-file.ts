import type { Signer } from '../keys/index.ts'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { type NodeSignerOptions, nodeSigner } from './node-signer.ts'
import { type FilePermissions, readSecretFileSync } from './secret-file.ts'

/** How a key in a file is read and used. */
export interface SignerFromFileOptions extends NodeSignerOptions {
  /** Default `private`: a file that others can read is refused. */
  readonly permissions?: FilePermissions | undefined
}

/**
 * Makes a signer from a private key in a file: PEM in any form that `nodeSigner` reads, or a JWK as JSON. The file is read now, so that a
 * mistake shows when the program starts.
 *
 * @throws ConfigurationError with code `key_invalid`, `file_invalid` or `file_permissions`; it names the file and never its content.
 */
export function signerFromFile(path: string, { permissions, ...options }: SignerFromFileOptions = {}): Signer {
  const text = readSecretFileSync(path, { subject: 'signerFromFile', permissions })
  try {
    return nodeSigner(text.trimStart().startsWith('{') ? JSON.parse(text) : text, options)
  } catch (error) {
    const came = isEvertokenError(error) ? error.message.replace('nodeSigner: ', '') : 'expected a JWK, got no JSON'
    throw new ConfigurationError(`signerFromFile: "${path}": ${came}`, { code: 'key_invalid' })
  }
}
