import type { Signer } from '../keys/index.ts'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { type NodeSignerOptions, nodeSigner } from './node-signer.ts'
import { readSecretFileSync } from './secret-file.ts'
import { type SecretFileOptions, secretFile, textOf } from './secret-file-rules.ts'

/** How a key in a file is read and used. */
export interface SignerFromFileOptions extends NodeSignerOptions, SecretFileOptions {}

/**
 * Makes a signer from a private key in a file: PEM in any form that `nodeSigner` reads, or a JWK as JSON. The file is read now, so that a
 * mistake shows when the program starts.
 *
 * @throws ConfigurationError with code `option_invalid`, `key_invalid`, `file_unreadable`, `file_invalid` or `file_permissions`;
 * TransportError with code `file_unsettled`. They name the file and never its content.
 */
export function signerFromFile(path: string, options: SignerFromFileOptions = {}): Signer {
  const file = secretFile('signerFromFile', path, options)
  const text = textOf(file, readSecretFileSync(file))
  try {
    return nodeSigner(text.trimStart().startsWith('{') ? JSON.parse(text) : text, options)
  } catch (error) {
    const came = isEvertokenError(error) ? error.message.replace('nodeSigner: ', '') : 'expected a JWK, got no JSON'
    throw new ConfigurationError(`signerFromFile: "${path}": ${came}`, { code: 'key_invalid' })
  }
}
