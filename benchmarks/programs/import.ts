import 'evertoken'
