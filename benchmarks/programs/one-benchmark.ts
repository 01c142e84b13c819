import { benchmarks } from '../benchmarks.ts'

const [name = ''] = process.argv.slice(2)
process.send?.(await benchmarks.get(name)?.())
process.disconnect()
