import type { JsonWebKey } from '../keys/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { assertAlg } from './arguments.ts'
import { type Command, usageInvalid } from './command.ts'
import { passphraseIn, publicJwkFromFile } from './key-file.ts'
import { jsonText } from './messages.ts'

const NAME = 'keys jwks'

/** `evertoken keys jwks`: the public keys of files, as a JWK Set (RFC 7517 section 5). */
export const keysJwks: Command = {
  name: NAME,
  summary: 'prints the public keys of files as a JWK Set',
  usage: '<file...> [options]',
  details: ['A file holds one key, private or public, as PEM or JWK, or a certificate.', 'Nothing private is printed.'],
  operands: [1, Number.POSITIVE_INFINITY],
  options: [
    { name: 'kid', value: 'id', summary: "key ID, with one file; default: the JWK's own, else the thumbprint" },
    {
      name: 'alg',
      value: 'alg',
      summary: "algorithm, with one file; default: the JWK's own, else by the kind of the key",
    },
    { name: 'passphrase-file', value: 'file', summary: 'opens encrypted keys' },
  ],
  async run({ args: { operands, options }, cwd, stdout, stderr }) {
    const [kid, alg] = ['kid', 'alg'].map((name) => options.get(name))
    for (const name of ['kid', 'alg']) {
      if (options.has(name) && operands.length > 1) throw usageInvalid(NAME, `--${name} with one file`, 'several')
    }
    if (alg !== undefined) assertAlg(NAME, alg)
    const passphrase = await passphraseIn(options.get('passphrase-file'), cwd)
    const keys: JsonWebKey[] = []
    for (const file of operands) {
      const key = await publicJwkFromFile(file, { kid, alg, passphrase }, { cwd, stderr })
      if (keys.some((other) => other.kid === key.kid)) {
        throw new ConfigurationError(`${NAME}: expected every kid once, got that of "${file}" twice`, {
          code: 'key_invalid',
        })
      }
      keys.push(key)
    }
    stdout.write(jsonText({ keys }))
  },
}
