import { jwkThumbprint } from '../keys/index.ts'
import type { Command } from './command.ts'
import { passphraseIn, publicJwkFromFile } from './key-file.ts'

/** `evertoken keys thumbprint`: the thumbprint of a key (RFC 7638). */
export const keysThumbprint: Command = {
  name: 'keys thumbprint',
  summary: 'prints the SHA-256 thumbprint of a key (RFC 7638)',
  usage: '<file> [options]',
  details: ['Private and public key have the same one.'],
  operands: [1, 1],
  options: [{ name: 'passphrase-file', value: 'file', summary: 'opens an encrypted key' }],
  async run({ args: { operands, options }, cwd, stdout, stderr }) {
    const passphrase = await passphraseIn(options.get('passphrase-file'), cwd)
    for (const file of operands) {
      stdout.write(`${await jwkThumbprint(await publicJwkFromFile(file, { passphrase }, { cwd, stderr }))}\n`)
    }
  },
}
