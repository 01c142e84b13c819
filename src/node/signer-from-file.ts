import type { JsonWebKey, Signer } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type NodeSignerOptions, signerNamed } from './node-signer.ts'
import { readSecretFileSync } from './secret-file.ts'
import { type SecretFileOptions, secretFile, textOf } from './secret-file-rules.ts'

/** How a key file is read, and how its key is used. */
export interface SignerFromFileOptions extends NodeSignerOptions, SecretFileOptions {}

/**
 * Makes a `Signer` from a key file, which is read now and once: a wrong file is refused where the program starts. The file holds PEM in
 * any form that `nodeSigner` reads, or a JWK.
 *
 * @throws ConfigurationError with code `option_invalid`, `file_unreadable`, `file_invalid`, `file_permissions` or `key_invalid`;
 * TransportError with code `file_unsettled`. They name the file and never show what is in it.
 */
export function signerFromFile(path: string, options: SignerFromFileOptions = {}): Signer {
  const file = secretFile('signerFromFile', path, options)
  const text = textOf(file, readSecretFileSync(file))
  const subject = `signerFromFile: "${path}"`
  return signerNamed(subject, text.trimStart().startsWith('{') ? parseJwk(text, subject) : text, options)
}

function parseJwk(text: string, subject: string): JsonWebKey {
  try {
    return JSON.parse(text)
  } catch {
    // The cause is left out: it quotes the file.
    throw new ConfigurationError(`${subject}: expected a JWK, got no JSON`, { code: 'key_invalid' })
  }
}
